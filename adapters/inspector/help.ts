import { documentHtml } from './page/html.js'
import { allReasons } from '../../src/pages/explanations.js'
import { allRisks } from './risk-texts.js'

/** The page that explains every reason and every risk, each under its code. */
export function helpHtml(nonce: string): string {
  const reasons = allReasons()
    .map(({ code, sentence, remedy }) => section(code, sentence, remedy))
    .join('\n')
  const risks = allRisks()
    .map(([code, { meaning, remedy }]) => section(code, meaning, remedy))
    .join('\n')
  const body = `<main class="help">
<p><a href="./">Back to the inspector</a></p>
<h1>What it means</h1>
<h2 id="reasons">Why a response was not answered from the cache</h2>
${reasons}
<h2 id="risks">Set-ups that are likely to harm</h2>
${risks}
</main>`
  return documentHtml({ nonce, title: 'What it means: fragcache', body })
}

function section(code: string, sentence: string, remedy: string): string {
  return `<section id="${escape(code)}">
<h3><code>${escape(code)}</code></h3>
<p>${escape(sentence)}</p>
<p>${escape(remedy)}</p>
</section>`
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
