/**
 * What is wrong with a page that was asked for twice, and was new to the caches the first time.
 *
 * @typedef {{ status: number, body: Buffer, account: import('./watch.mjs').Account }} Visit
 * @param {Visit} cold
 * @param {Visit} warm
 */
export function* faultsOf(cold, warm) {
  const { fragments, bodies, response } = warm.account
  if (cold.account.bodies.length === 0) yield 'the cold page ran no body'
  if (bodies.length > 0)
    yield `the warm page ran ${bodies.map((body) => body.join(' ')).join(', ')}`
  if (fragments.length === 0 && response === undefined) yield 'the warm page had no hit'
  if (response !== undefined && response.outcome !== 'hit') {
    yield `the warm page as a whole is ${[response.outcome, response.reason].filter(Boolean).join(': ')}`
  }
  for (const { name, outcome } of fragments) {
    if (outcome !== 'hit') yield `the warm page has the fragment ${name} as ${outcome}`
  }
  if (warm.status !== cold.status) yield `status ${cold.status} cold, ${warm.status} warm`
  if (!warm.body.equals(cold.body)) yield 'the warm page is not the cold page'
  if (cold.status >= 500) yield `status ${cold.status}`
}
