import type { MissCause } from './miss-cause.js'

/**
 * Why something that was made is not stored, of fragments and of pages alike.
 *
 * - `zero-seconds`: its timeout is zero or less.
 * - `stale`: its time, or that of something in it, is over.
 * - `stale-inside`: something in it was served stale.
 * - `undeclared-read`: it has, or may have, per-user output in it that it does not vary on.
 * - `holes`: it has a hole that cannot be filled for others.
 * - `incomplete`: it is not whole.
 * - `invalidated`: it, or something in it, was invalidated meanwhile, or may have been.
 * - `overtaken`: another one was stored meanwhile, or what lay there was removed.
 * - `too-many-tags`: it depends on more tags than can be stored.
 * - `entry-too-large`: it is larger than the store takes.
 * - `cache-refused`: the store answers, and does not take it: mostly it is full.
 * - `cache-failed`: the store does not answer.
 */
export type UnstoredReason =
  | 'zero-seconds'
  | 'stale'
  | 'stale-inside'
  | 'undeclared-read'
  | 'holes'
  | 'incomplete'
  | 'invalidated'
  | 'overtaken'
  | 'too-many-tags'
  | 'entry-too-large'
  | 'cache-refused'
  | 'cache-failed'

/**
 * Why a fragment is not stored, or why its text is stale. `if-false`: its tag says `if`, and that is false.
 * `inside-itself`: only the outer one is stored. `stale-while-revalidate`: it is rendered again in the background.
 * `body-failed`: its body threw. The others as for pages.
 */
export type FragmentReason =
  UnstoredReason | 'if-false' | 'inside-itself' | 'stale-while-revalidate' | 'body-failed'

const SENTENCES: Readonly<Record<FragmentReason, string>> = {
  'if-false': 'Its tag says `if`, and that is false.',
  'inside-itself': 'It is inside itself, and only the outer one is stored.',
  'zero-seconds': 'Its timeout is zero or less.',
  stale: 'Its time was over before it could be stored, or that of something in it was.',
  'stale-inside': 'Something in it was served stale.',
  'undeclared-read': 'It has, or may have, per-user output in it that it does not vary on.',
  holes: 'It has a hole that cannot be filled for others.',
  incomplete:
    'Its text is not whole: its body was left early, or the text of a fragment in it was dropped or changed.',
  invalidated: 'It, or something in it, was invalidated while it was rendered, or may have been.',
  overtaken:
    'Another one was stored while it was rendered, or the stored one was removed in the meantime.',
  'too-many-tags': 'It depends on more tags than can be stored.',
  'entry-too-large': 'It is larger than the store takes.',
  'cache-refused': 'The store answers, and did not take it: mostly since it is full.',
  'cache-failed': 'The store did not answer.',
  'stale-while-revalidate':
    'The old text is shown once more, while it is rendered again in the background.',
  'body-failed': 'Its body failed, so the old text is shown.',
}

/** Says to people why a fragment was not stored, why it is stale, and why there was no fresh one. */
export function explainFragment({
  reason,
  cause,
}: {
  readonly reason?: FragmentReason | undefined
  readonly cause?: MissCause | undefined
}): string | undefined {
  if (reason === undefined) return cause?.text
  const sentence = SENTENCES[reason]
  return cause === undefined || reason === 'cache-failed' ? sentence : `${sentence} ${cause.text}`
}

/** As {@link explainFragment}, of a reason alone, as statistics have it. */
export function explainFragmentReason(reason: string): string {
  return Object.hasOwn(SENTENCES, reason) ? SENTENCES[reason as FragmentReason] : reason
}
