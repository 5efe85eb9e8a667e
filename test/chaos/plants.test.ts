import { describe, expect, it } from 'vitest'
import { patched } from '../../scripts/chaos/plants.mjs'

describe('a patch that plants a fault', () => {
  it('replaces what stands there once, literally', () => {
    const patch = { find: 'if (a.b) ', replace: 'if ($& || true) ' }
    expect(patched('if (a.b) return', patch)).toBe('if ($& || true) return')
  })

  it.each([
    ['nothing', 'there are 0'],
    ['twice, twice', 'there are 2'],
  ])('refuses %j, since it would plant something else', (code, message) => {
    expect(() => patched(code, { find: 'twice', replace: '' })).toThrow(message)
  })
})
