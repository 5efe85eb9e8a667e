import type { Dependents } from '../../src/observe/dependents.js'

/** What an invalidation would drop, as a sentence. */
export function foretell({ entries, fragments, pages, values, isWhole }: Dependents): string {
  const rest = isWhole ? '' : ' There may be more: this process does not know all entries.'
  if (entries === 0) {
    return isWhole
      ? 'This process has stored nothing that it would drop.'
      : `This process knows nothing that it would drop.${rest}`
  }
  const parts = [
    ...fragments.map(({ name, templates, entries }) => {
      const where = templates.length === 0 ? '' : ` (${listed(templates)})`
      return `${counted(entries, 'variant')} of the fragment “${name}”${where}`
    }),
    ...pages.map(({ route, entries }) => `${counted(entries, 'page')} of ${route}`),
    ...(values.entries === 0
      ? []
      : [`${counted(values.entries, 'value')} (${listed(values.keys, values.entries)})`]),
  ]
  return `Of what this process has stored it would drop ${counted(entries, 'entry', 'entries')}: ${listed(parts)}.${rest}`
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`
}

const MAX_LISTED = 5

/** @param total - How many there are, where only some are given. */
function listed(texts: readonly string[], total = texts.length): string {
  const some = texts.slice(0, MAX_LISTED)
  const rest = total - some.length
  return rest > 0 ? `${some.join(', ')} and ${rest} more` : some.join(', ')
}
