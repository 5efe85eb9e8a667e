import { subscribe } from 'node:diagnostics_channel'
import { changes } from './changes.mjs'
import { neighboursOf } from './data/borders.mjs'
import { countries, regions } from './data/countries.mjs'
import { labelOf } from './foot.mjs'

/** Its note is edited. */
const CODE = 'FRA'
const REGION = 'europe'

/** The countries whose pages are looked at: it, its neighbours, and some that are neither. */
const codes = [CODE, ...neighboursOf(CODE), 'PER', 'PRT', 'ISL']
const allRegions = regions.map(({ slug }) => `/region/${slug}`)
const paths = [...codes.map((code) => `/country/${code}`), ...allRegions, '/stats']

/**
 * What has to be made again: bodies, each once, and whole pages. Worked out from the data alone.
 *
 * @type {Record<string, (revision: (code: string) => string) => { bodies: string[], pages: string[], shows: boolean }>}
 *   `shows`: whether other pages than the country's own show the new note.
 */
const expected = {
  tag: whatContainsTheTag,
  soft: whatContainsTheTag,
  name: (revision) => ({
    bodies: [
      ...codes.map((code) => `note ${code} en ${revision(code)}`),
      ...new Set(codes.flatMap((code) => neighboursOf(code)).map((code) => `mention ${code} en`)),
      ...codes.filter((code) => neighboursOf(code).length > 0).map(neighboursFragment),
      ...countries.map(({ cca3 }) => `card ${cca3} en`),
      ...regions.map(({ slug }) => `region ${slug} en`),
    ],
    pages: allRegions,
    shows: true,
  }),
  expire: theNoteAlone,
  key: theNoteAlone,
}

function theNoteAlone(revision) {
  return { bodies: [`note ${CODE} en ${revision(CODE)}`], pages: [], shows: false }
}

function whatContainsTheTag(revision) {
  return {
    bodies: [
      `note ${CODE} en ${revision(CODE)}`,
      `mention ${CODE} en`,
      `card ${CODE} en`,
      `region ${REGION} en`,
      ...neighboursOf(CODE).map(neighboursFragment),
    ],
    pages: [`/region/${REGION}`],
    shows: true,
  }
}

const neighboursFragment = (code) => `neighbours ${code} en`

let report
subscribe('atlas:report', (message) => {
  report = message
})

/**
 * Sends the edit form with each of its choices, and looks at what is made again afterwards.
 *
 * @param {object} site
 * @param {string} site.base - Address of one engine's pages.
 * @param {ReturnType<typeof import('./notes.mjs').createNotes>} site.notes
 * @param {(url: string) => Promise<{ body: Buffer, account: import('./watch.mjs').Account }>} site.get
 * @param {(url: string, fields: Record<string, string>) => Promise<Response>} site.post
 * @returns {AsyncGenerator<{ by: string, bodies: number, pages: number, kept: number, faults: string[] }>}
 */
export async function* checkEdits({ base, notes, get, post }) {
  const own = `${base}/country/${CODE}`
  for (const by of Object.keys(changes)) {
    const unkept = []
    for (const path of paths) {
      const { response } = (await get(base + path)).account
      if (response?.reason !== undefined) unkept.push(`${path} is not kept: ${response.reason}`)
    }
    const text = `Edited in ${base.split('/').at(-1)}, ${by}.`
    const token = tokenOf(await get(own))
    const refused = await post(`${own}/note`, { note: text, by, token: `${token}x` })
    const response = await post(`${own}/note`, { note: text, by, token })
    const faults = [...unkept]
    if (refused.status !== 403) faults.push(`a form with a wrong token is taken: ${refused.status}`)
    if (response.status !== 303) faults.push(`the form is not taken: ${response.status}`)

    const seen = report.pages.map(({ path, outcome, made }) => ({
      path,
      outcome,
      bodies: made.map(({ body }) => body),
    }))
    let kept = 0
    const shown = []
    for (const path of paths) {
      const { body, account } = await get(base + path)
      const { outcome, reason } = account.response ?? {}
      seen.push({ path, outcome, reason, bodies: account.bodies })
      kept += account.fragments.filter(({ outcome }) => outcome === 'hit').length
      if (body.includes(text)) shown.push(path)
    }

    const { bodies, pages, shows } = expected[by](notes.revision)
    const made = seen.flatMap((page) => page.bodies.map(labelOf))
    const again = seen.filter(({ outcome }) => ![undefined, 'hit'].includes(outcome))
    const showing = shows ? [CODE, ...neighboursOf(CODE)] : [CODE]
    faults.push(
      ...difference('fragments made again', made, bodies),
      ...difference(
        'pages made again',
        again.map(({ path }) => path),
        pages,
      ),
      ...difference('pages with the new note', shown, [
        ...showing.map((code) => `/country/${code}`),
        ...(shows ? [`/region/${REGION}`] : []),
      ]),
    )
    yield { by, bodies: made.length, pages: again.length, kept, faults }
  }
}

const tokenOf = ({ body }) => /name="token" value="([^"]+)"[^]*?id="text"/.exec(String(body))?.[1]

/** Both are lists in which nothing may be twice. */
function* difference(what, found, wanted) {
  const missing = wanted.filter((one) => !found.includes(one))
  const surplus = found.filter((one, i) => !wanted.includes(one) || found.indexOf(one) !== i)
  if (missing.length > 0) yield `missing among the ${what}: ${missing.join(', ')}`
  if (surplus.length > 0) yield `too much among the ${what}: ${surplus.join(', ')}`
}
