/** Fragments that show a country's note, and have its tag. */
const SHOWING = ['note', 'mention', 'card']

/** Those that show none of their own, and contain some that do. */
const AROUND = ['neighbours', 'region']

const tagOf = (code) => `country:${code}`

/**
 * What the edit form offers to do with all that shows the old note.
 *
 * - `apply` does it, for the caches of all engines.
 * - `reason` says why a body ran after it: what it asked is given, its fragment's name and what that
 *   varies on.
 *
 * @type {Record<string, {
 *   says: (code: string) => string,
 *   apply: (sites: readonly Site[], notes: Notes, code: string, here: Here) => Promise<unknown>,
 *   reason: (body: readonly string[], code: string) => string | undefined,
 * }>}
 * @typedef {{
 *   name: string,
 *   caches: import('fragcache').Caches,
 *   fragments: import('fragcache').FragmentCache,
 * }} Site The caches of one engine.
 * @typedef {Site & { seen: readonly { name: string, alias: string, key: string }[] }} Here The engine
 *   whose page the form is on, and the fragments that were seen there.
 * @typedef {ReturnType<typeof import('./notes.mjs').createNotes>} Notes
 */
export const changes = {
  tag: {
    says: (code) =>
      `Everything tagged ${tagOf(code)} was dropped, and whatever contains such a thing.`,
    apply: (sites, _notes, code) =>
      all(sites, ({ caches }) => caches.invalidateTags([tagOf(code)])),
    reason: (body, code) => tagged(body, code) ?? around(body, 'contains what was dropped'),
  },
  soft: {
    says: (code) =>
      `Everything tagged ${tagOf(code)} is stale, and whatever contains such a thing: a page may be shown ` +
      'as it was while it is made again, once.',
    apply: (sites, _notes, code) =>
      all(sites, ({ caches }) => caches.invalidateTags([tagOf(code)], { soft: true })),
    reason: (body, code) => tagged(body, code) ?? around(body, 'contains what is stale'),
  },
  name: {
    says: () =>
      `All fragments named ${SHOWING.join(', ')} were dropped, of every country and in every language, and ` +
      'whatever contains one: right, and more than needed.',
    apply: (sites) =>
      all(sites, ({ fragments }) => Promise.all(SHOWING.map((name) => fragments.invalidate(name)))),
    reason: ([name, ...values]) =>
      SHOWING.includes(name)
        ? `named ${name}`
        : around([name, ...values], 'contains one of that name'),
  },
  expire: {
    says: () =>
      'The note on this page is past its time, by its key: it may be shown as it was while it is made ' +
      'again. What shows it elsewhere is not asked, and keeps the old one until its own time is over.',
    apply: (_sites, _notes, _code, { caches, seen }) =>
      Promise.all(
        seen
          .filter(({ name }) => name === 'note')
          .map(({ alias, key }) => caches.get(alias).expire(key)),
      ),
    reason: ([name]) => (name === 'note' ? 'past its time' : undefined),
  },
  key: {
    says: () =>
      'Nothing was dropped: the note on this page has a new key. What shows it elsewhere is not asked, ' +
      'and keeps the old one until it is dropped or its time is over.',
    apply: async (_sites, notes, code) => notes.renew(code),
    reason: ([name]) => (name === 'note' ? 'new key' : undefined),
  },
}

const tagged = ([name, of], code) =>
  SHOWING.includes(name) && of === code ? `tagged ${tagOf(code)}` : undefined

const around = ([name], reason) => (AROUND.includes(name) ? reason : undefined)

const all = (sites, apply) => Promise.all([...sites].map(apply))
