const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

const IMF_FIXDATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/i
const RFC_850 =
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/i
const ASCTIME =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/i

/**
 * Reads an HTTP date in one of its three forms, whatever the case of its letters.
 *
 * @param nowMs - Two-digit years more than 50 years ahead of it belong to the past century.
 * @returns Milliseconds since the epoch; `undefined` for anything else (`Date.parse` would take `0`
 *   for a date).
 * @see RFC 9110 §5.6.7
 */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  const match = IMF_FIXDATE.exec(text) ?? RFC_850.exec(text) ?? ASCTIME.exec(text)
  if (match?.groups === undefined) return undefined
  const { day = '', month = '', year = '', time = '' } = match.groups
  const monthIndex = MONTHS.indexOf(month.toLowerCase())
  const [hours = NaN, minutes = NaN, seconds = NaN] = time.split(':').map(Number)
  if (monthIndex === -1 || hours > 23 || minutes > 59 || seconds > 60) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year.length === 2 ? toFullYear(Number(year), nowMs) : Number(year))
  date.setUTCMonth(monthIndex, Number(day))
  // The 31st of February is no date.
  if (date.getUTCMonth() !== monthIndex) return undefined
  return date.setUTCHours(hours, minutes, seconds)
}

function toFullYear(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + twoDigits
  return year > thisYear + 50 ? year - 100 : year
}

/** The last second that an HTTP date can say. */
const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59)

/** An HTTP date, rounded down to the second. */
export function formatHttpDate(ms: number): string {
  return new Date(Math.min(ms, LATEST_MS)).toUTCString()
}
