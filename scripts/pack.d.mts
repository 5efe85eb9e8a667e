/** Packs the built project as it would be published. @returns The path of the tarball. */
export function pack(folder: string): Promise<string>
