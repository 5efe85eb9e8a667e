/**
 * The languages in which the data names every country: English and its 23 translations.
 * `tag` goes into URLs and `lang` attributes, `key` is the data's own ISO 639-3 code.
 */
export const languages = [
  { tag: 'en', key: 'eng', name: 'English', dir: 'ltr', hello: 'Hello' },
  { tag: 'ar', key: 'ara', name: 'العربية', dir: 'rtl', hello: 'مرحبًا' },
  { tag: 'cs', key: 'ces', name: 'Čeština', dir: 'ltr', hello: 'Dobrý den' },
  { tag: 'de', key: 'deu', name: 'Deutsch', dir: 'ltr', hello: 'Guten Tag' },
  { tag: 'es', key: 'spa', name: 'Español', dir: 'ltr', hello: 'Hola' },
  { tag: 'et', key: 'est', name: 'Eesti', dir: 'ltr', hello: 'Tere' },
  { tag: 'fa', key: 'per', name: 'فارسی', dir: 'rtl', hello: 'سلام' },
  { tag: 'fi', key: 'fin', name: 'Suomi', dir: 'ltr', hello: 'Hei' },
  { tag: 'fr', key: 'fra', name: 'Français', dir: 'ltr', hello: 'Bonjour' },
  { tag: 'hr', key: 'hrv', name: 'Hrvatski', dir: 'ltr', hello: 'Dobar dan' },
  { tag: 'hu', key: 'hun', name: 'Magyar', dir: 'ltr', hello: 'Jó napot' },
  { tag: 'it', key: 'ita', name: 'Italiano', dir: 'ltr', hello: 'Buongiorno' },
  { tag: 'ja', key: 'jpn', name: '日本語', dir: 'ltr', hello: 'こんにちは' },
  { tag: 'ko', key: 'kor', name: '한국어', dir: 'ltr', hello: '안녕하세요' },
  { tag: 'nl', key: 'nld', name: 'Nederlands', dir: 'ltr', hello: 'Goedendag' },
  { tag: 'pl', key: 'pol', name: 'Polski', dir: 'ltr', hello: 'Dzień dobry' },
  { tag: 'pt', key: 'por', name: 'Português', dir: 'ltr', hello: 'Olá' },
  { tag: 'ru', key: 'rus', name: 'Русский', dir: 'ltr', hello: 'Здравствуйте' },
  { tag: 'sk', key: 'slk', name: 'Slovenčina', dir: 'ltr', hello: 'Dobrý deň' },
  { tag: 'sr-Latn', key: 'srp', name: 'Srpski', dir: 'ltr', hello: 'Dobar dan' },
  { tag: 'sv', key: 'swe', name: 'Svenska', dir: 'ltr', hello: 'Hej' },
  { tag: 'tr', key: 'tur', name: 'Türkçe', dir: 'ltr', hello: 'Merhaba' },
  { tag: 'ur', key: 'urd', name: 'اردو', dir: 'rtl', hello: 'السلام علیکم' },
  { tag: 'zh', key: 'zho', name: '中文', dir: 'ltr', hello: '你好' },
]

const byTag = new Map(languages.map((language) => [language.tag, language]))

/**
 * @param {unknown} tag - As it came in the URL.
 * @returns The language, or English when there is none of that name.
 */
export function languageOf(tag) {
  return byTag.get(/** @type {string} */ (tag)) ?? languages[0]
}

/**
 * A country's short name in a language.
 *
 * @param {import('world-countries').Country} country
 * @param {string} lang - One of the tags above.
 */
export function nameIn(country, lang) {
  return country.translations[languageOf(lang).key]?.common ?? country.name.common
}

/**
 * A country's full name in a language.
 *
 * @param {import('world-countries').Country} country
 * @param {string} lang - One of the tags above.
 */
export function officialNameIn(country, lang) {
  return country.translations[languageOf(lang).key]?.official ?? country.name.official
}

/** @param {string} lang */
export function directionOf(lang) {
  return languageOf(lang).dir
}
