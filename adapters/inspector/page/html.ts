import { TOKEN_HEADER } from '../api.js'
import { readAsset } from '../assets.js'

/** What the page is made with. */
export interface PageSetup {
  /** Of the Content-Security-Policy: every `style` and `script` element carries it. */
  readonly nonce: string
  /** Goes with each POST in the header {@link TOKEN_HEADER}. */
  readonly token: string
  /** Of this package. */
  readonly version: string
}

/** What a document of the inspector is made of. */
export interface DocumentSetup {
  /** Of the Content-Security-Policy: every `style` and `script` element carries it. */
  readonly nonce: string
  /** Text without markup. */
  readonly title: string
  /** HTML. */
  readonly body: string
  /** HTML that goes into `head`. */
  readonly head?: string
}

/**
 * The modules of the page's script, each behind those it imports. They are in JavaScript, checked by
 * `tsc` with the browser's types, so that the sources and the built package hold the same files.
 */
const modules = [
  'dom',
  'format',
  'hash',
  'requests',
  'notices',
  'badges',
  'app',
  'table',
  'chart',
  'figures',
  'alias-card',
  'overview',
  'statistics',
  'statistics-views',
  'detail',
  'fragment-detail',
  'route-detail',
  'tags',
  'responses',
  'live-requests',
  'live',
  'entries',
  'entry',
  'actions',
  'main',
] as const

/** An import of a sibling, on however many lines. */
const siblingImport = /^import [^']*'\.\/[\w-]+\.js'\n/gm

/** Puts the modules into one, since an inline script cannot import another. */
function joinModules(): string {
  return modules
    .map((name) =>
      readAsset(`page/client/${name}.js`)
        .replace(siblingImport, '')
        .replace(/^export /gm, '')
        .trim(),
    )
    .join('\n\n')
}

let script: string | undefined
let style: string | undefined

/** The page's script, read when it is first asked for. */
export function pageScript(): string {
  return (script ??= joinModules())
}

/** The style sheet of the inspector's documents, read when it is first asked for. */
export function pageStyle(): string {
  return (style ??= readAsset('page/page.css').trim())
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character] ?? '')

/** A bar of hits with a gap of misses; without an icon of its own, browsers ask the site for one. */
const icon =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0b57a4" d="M1 3h14v3H1z"/>' +
      '<path fill="#5b9be0" d="M1 7h9v3H1zM1 11h14v3H1z"/></svg>',
  )

/** The inspector's page: one document without any other file. */
export function pageHtml({ nonce, token, version }: PageSetup): string {
  return documentHtml({
    nonce,
    title: 'Cache inspector',
    head: `<meta name="fragcache-token" content="${escaped(token)}">
<meta name="fragcache-token-header" content="${escaped(TOKEN_HEADER)}">
<meta name="generator" content="fragcache ${escaped(version)}">`,
    body: `<noscript><p>The cache inspector needs JavaScript: all of it is in this document.</p></noscript>
<script type="module" nonce="${escaped(nonce)}">
${pageScript()}
</script>`,
  })
}

/** A document in the inspector's style. */
export function documentHtml({ nonce, title, body, head = '' }: DocumentSetup): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${escaped(title)}</title>
<link rel="icon" href="${icon}">
${head}
<style nonce="${escaped(nonce)}">
${pageStyle()}
</style>
</head>
<body>
${body}
</body>
</html>
`
}
