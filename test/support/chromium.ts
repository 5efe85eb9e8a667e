import { inPath, installWithApt, isExecutable } from './executables.js'

/** What `playwright-core`'s `chromium.launch` needs to start the browser of this machine. */
export interface ChromiumLaunch {
  readonly executablePath: string
  readonly args: string[]
}

/**
 * A name in `PATH` or an absolute path; the first that can be run is taken. The headless shell draws no toolbars,
 * which cost the whole browser two seconds of a processor for each page that is opened.
 */
const candidates = [
  'chromium-headless-shell',
  'chrome-headless-shell',
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  '/usr/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
]

/**
 * No sandbox: as root, and in most containers, Chromium refuses to start with one. The others stop
 * traffic that the browser makes on its own account.
 */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]

/**
 * Where this machine has Chromium or Chrome.
 *
 * @returns The path, or `undefined` where there is none.
 * @throws Error `CHROMIUM` is set and names nothing that can be run.
 */
export function findChromium(): string | undefined {
  const named = process.env['CHROMIUM']
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named
    throw new Error(`CHROMIUM is "${named}", which cannot be run: correct or unset it`)
  }
  for (const candidate of candidates) {
    const found = candidate.startsWith('/')
      ? isExecutable(candidate)
        ? candidate
        : undefined
      : inPath(candidate)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * How to start Chromium here; as root on Debian or Ubuntu it is installed when missing.
 *
 * @returns What to launch, or `undefined` where the machine has none: the suite is then skipped, and a
 *   line on the console says what to install.
 * @throws Error With `CI=true` a missing Chromium is a failure, since the suite would prove nothing.
 */
export async function ensureChromium(): Promise<ChromiumLaunch | undefined> {
  let executablePath = findChromium()
  let failure: unknown
  // Debian has both, others the second alone.
  for (const name of ['chromium-headless-shell', 'chromium']) {
    if (executablePath !== undefined) break
    try {
      if (await installWithApt('Chromium', [name])) executablePath = findChromium()
    } catch (error) {
      failure = error
    }
  }
  if (executablePath !== undefined) return { executablePath, args: [...args] }
  const remedy =
    'browser tests need Chromium: install it (Debian: apt-get install chromium) ' +
    'or name an executable in CHROMIUM'
  if (process.env['CI'] === 'true') throw new Error(remedy, { cause: failure })
  console.warn(`skipped: ${remedy}${failure instanceof Error ? `\n${failure.message}` : ''}`)
  return undefined
}
