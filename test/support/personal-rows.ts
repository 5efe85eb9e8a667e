import { expect, it } from 'vitest'

/** Templates by name; the first that is rendered is told by who renders. */
export type Templates = Readonly<Record<string, string>>
export type Render = (templates: Templates) => Promise<string>

/** The error of a body that reads the visitor, named `user`, and does not declare it. */
export const REFUSED = { message: expect.stringContaining('reads "user"') as string }

/**
 * Declares tests of the option `personal`.
 *
 * @param refused - Templates whose cached body reads the visitor.
 * @param free - Templates beside them that do not, and what they render to, cold and warm.
 */
export function personalRows(
  render: Render,
  refused: readonly [string, Templates][],
  free: readonly [string, Templates, string][],
): void {
  it.each(refused)('refuses %s', async (_name, templates) => {
    await expect(render(templates)).rejects.toMatchObject(REFUSED)
  })

  it.each(free)('allows %s', async (_name, templates, text) => {
    for (let i = 0; i < 2; i++) expect(await render(templates)).toBe(text)
  })
}
