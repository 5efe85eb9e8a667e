import { TOKEN_HEADER } from '../api.js'

/** What the page is made with. */
export interface PageSetup {
  /** Of the Content-Security-Policy: every `style` and `script` element carries it. */
  readonly nonce: string
  /** Goes with each POST in the header {@link TOKEN_HEADER}. */
  readonly token: string
  /** Of this package. */
  readonly version: string
}

/** The inspector's page: one document without any other file. */
export function pageHtml({ nonce, token, version }: PageSetup): string {
  return documentHtml({
    nonce,
    title: 'fragcache',
    body: `<main data-version="${version}" data-token-header="${TOKEN_HEADER}" data-token="${token}"><h1>fragcache</h1></main>`,
  })
}

/** A document in the inspector's style. `body` is HTML, `title` is text without markup. */
export function documentHtml(setup: {
  readonly nonce: string
  readonly title: string
  readonly body: string
}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${setup.title}</title>
<style nonce="${setup.nonce}">:root { color-scheme: light dark }</style>
</head>
<body>
${setup.body}
</body>
</html>
`
}
