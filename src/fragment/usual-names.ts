/**
 * Names by which applications usually know a visitor: in templates watched while developing, unless an application
 * says what differs per visitor in them, and on requests a sign that the response is per-user.
 */
export const USUAL_NAMES = [
  'user',
  'currentUser',
  'session',
  'csrfToken',
  '_csrf',
  'flash',
  'visitor',
  'account',
  'cart',
] as const
