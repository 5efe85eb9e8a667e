/** Middleware: what a browser may do with our pages. They have no scripts at all. */
export function securityHeaders(req, res, next) {
  res.set({
    'Content-Security-Policy':
      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " +
      "base-uri 'none'; frame-ancestors 'none'",
    'Referrer-Policy': 'same-origin',
    'X-Content-Type-Options': 'nosniff',
  })
  next()
}

/**
 * Middleware: a form is taken from our own pages only. Browsers send `Origin` with every POST. The
 * visitor's cookie is `SameSite=Strict` besides, and their forms have a token, see `visitors.mjs`.
 */
export function sameOrigin(req, res, next) {
  if (req.get('origin') === `${req.protocol}://${req.get('host')}`) return next()
  res.status(403).type('text').send('This form must be sent from a page of this site.\n')
}
