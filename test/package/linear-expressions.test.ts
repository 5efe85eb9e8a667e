import { ESLint } from 'eslint'
import { describe, expect, it } from 'vitest'

const eslint = new ESLint()

/** The rules that complain of a script with this regular expression in it. */
async function complaints(expression: string): Promise<readonly (string | null)[]> {
  const [result] = await eslint.lintText(`export const found = ${expression}.test('')\n`, {
    filePath: 'scripts/made-up.mjs',
  })
  return result!.messages.map(({ ruleId }) => ruleId)
}

describe('a regular expression that takes more than linear time', () => {
  it.each([
    // It begins again at each blank.
    ['/^[ \\t]+|[ \\t]+$/g', 'regexp/no-super-linear-move'],
    ['/[ \\t]*,/', 'regexp/no-super-linear-move'],
    // It goes back over the same blanks.
    ['/^a\\s*b?\\s*$/', 'regexp/no-super-linear-backtracking'],
    ['/^(?:a+)+$/', 'regexp/no-super-linear-backtracking'],
  ])('is refused by the lint: %s', async (expression, rule) => {
    expect(await complaints(expression)).toContain(rule)
  })

  it.each(['/^[ \\t]*a/', '/^"(?:[^"\\\\]|\\\\.)*"$/s'])(
    'is another than %s, which passes',
    async (expression) => {
      expect(await complaints(expression)).toEqual([])
    },
  )
})
