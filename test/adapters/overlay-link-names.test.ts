import { expect, it } from 'vitest'
import { LinkMaker } from '../../adapters/inspector/overlay/links.js'

it.each(['x'.repeat(300), 'a\0b'])(
  'links to no file where a name can be none of one',
  (template) => {
    const settings = { editor: 'vscode://file/{path}:{line}', inspector: undefined, views: ['/'] }
    expect(new LinkMaker(settings, {} as never).ofFragment({ template }, 'default')).toEqual({})
  },
)
