import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const COOKIE = 'atlas_visitor'
/** Visitors that are remembered; beyond this the oldest is forgotten. */
const MOST_VISITORS = 1000
const NAME_LENGTH = 40

/**
 * Who is signed in, and which countries they have been to; kept in memory until the server stops.
 * There are no passwords: a name is enough, and the signed cookie tells one visitor from another.
 */
export function createVisitors() {
  const secret = randomBytes(32)
  /** @type {Map<string, { id: string, name: string, visited: Set<string> }>} */
  const visitors = new Map()

  const signature = (text) => createHmac('sha256', secret).update(text).digest('base64url')

  const isSignature = (given, text) => {
    const expected = Buffer.from(signature(text))
    const actual = Buffer.from(String(given ?? ''))
    return actual.length === expected.length && timingSafeEqual(actual, expected)
  }

  const current = (req) => {
    const cookie = cookies(req.headers.cookie).get(COOKIE) ?? ''
    const [id = '', given = ''] = cookie.split('.')
    return isSignature(given, id) ? visitors.get(id) : undefined
  }

  /** What a token signs; no visitor's id has a colon in it. */
  const formsOf = (req) => `form:${req.visitor?.id ?? ''}`

  return {
    /** Middleware: says who asks, as `req.visitor`, and which token their forms have, as `req.token`. */
    recognize(req, res, next) {
      req.visitor = current(req)
      req.token = signature(formsOf(req))
      next()
    },

    /**
     * Middleware, after the one that reads forms: takes those with the token of their visitor. All who
     * are not signed in have one token; there is nothing of theirs that another could change.
     */
    ownForm(req, res, next) {
      if (isSignature(req.body?.token, formsOf(req))) return next()
      res
        .status(403)
        .type('text')
        .send('This form is not yours, or too old: load its page again.\n')
    },

    /**
     * @param {import('express').Response} res - Gets the cookie.
     * @param {unknown} name - As it came from the form.
     * @returns {boolean} `false` if that is no name.
     */
    signIn(res, name) {
      const line = String(name ?? '')
        .replace(/\s+/gu, ' ')
        .trim()
      if (line === '') return false
      const id = randomBytes(16).toString('base64url')
      const [oldest] = visitors.keys()
      if (visitors.size >= MOST_VISITORS && oldest !== undefined) visitors.delete(oldest)
      const visitor = {
        id,
        name: Array.from(line).slice(0, NAME_LENGTH).join(''),
        visited: new Set(),
      }
      visitors.set(id, visitor)
      res.cookie(COOKIE, `${id}.${signature(id)}`, {
        httpOnly: true,
        sameSite: 'strict',
        path: '/',
      })
      return true
    },

    /**
     * @param {import('express').Request} req
     * @param {import('express').Response} res - Loses the cookie.
     */
    signOut(req, res) {
      const { visitor } = req
      if (visitor !== undefined) visitors.delete(visitor.id)
      res.clearCookie(COOKIE, { httpOnly: true, sameSite: 'strict', path: '/' })
      return visitor
    },

    /** @param {string} id */
    get: (id) => visitors.get(id),
  }
}

function cookies(header = '') {
  return new Map(
    header.split(';').map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()]
    }),
  )
}
