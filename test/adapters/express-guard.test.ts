import type { Express, Request, RequestHandler } from 'express'
import { createCaches, FragmentCache, LocMemCache } from 'fragcache'
import { guard, type GuardOptions } from 'fragcache/express'
import { describe, expect, it } from 'vitest'
import { oneExpress, session, Site, type RequestOptions } from '../support/express.js'

class User {
  readonly #name: string
  readonly roles = ['editor', 'author']
  readonly address = Object.freeze({ city: 'Ulm', lines: Object.freeze(['1', '2']) })
  readonly seen = new Date(0)
  readonly flags = new Map([['beta', { since: 7 }]])

  constructor(name: string) {
    this.#name = name
  }

  get name(): string {
    return this.#name
  }

  greet(greeting: string): string {
    return `${greeting}, ${this.#name}`
  }

  boss(): User {
    return new User('Zoe')
  }

  is(other: User): boolean {
    return #name in other && other.#name === this.#name
  }

  async load(): Promise<User> {
    return this
  }
}

type Guarded = Request & {
  user: User
  session: { cart?: { total: number }; views?: number }
  cookies: Record<string, string>
  signedCookies: Record<string, string>
  tenant: { id: string }
  sessionID: string
  isAuthenticated: () => boolean
  csrfToken: () => string
}

const signIn: RequestHandler = (req, res, next) => {
  Object.assign(res.locals, { user: new User('Ann'), title: 'Home' })
  Object.assign(req, {
    user: new User('Ann'),
    cookies: { theme: 'dark' },
    signedCookies: { id: '7' },
    tenant: { id: 'acme' },
    isAuthenticated: () => true,
    csrfToken: () => 'token',
  })
  next()
}

/** What is read of a request, and as what it counts. */
const reads: readonly (readonly [string, string, (req: Guarded) => unknown])[] = [
  ['req.user', 'user', (req) => req.user],
  ['a name of the user', 'user', (req) => req.user.name],
  ['a method of the user', 'user', (req) => req.user.greet('Hi')],
  ['what is in the user', 'user', (req) => 'name' in req.user],
  ['the names of its properties', 'user', (req) => Object.keys(req.user)],
  ['whether there is a user', 'user', (req) => 'user' in req],
  ['whether somebody is signed in', 'user', (req) => req.isAuthenticated()],
  ['the user of its response', 'user', (req) => (req.res?.req as Guarded).user.name],
  ['a user among the variables', 'user', (req): unknown => req.res?.locals['user']],
  ['the session', 'session', (req) => req.session.cart],
  ['the number of a session', 'session', (req): unknown => req.sessionID],
  ['a token', 'session', (req) => req.csrfToken()],
  ['a cookie', 'cookies', (req): unknown => req.cookies['theme']],
  ['a signed cookie', 'cookies', (req): unknown => req.signedCookies['id']],
  ['the header of cookies', 'cookies', (req) => req.headers.cookie],
  ['the same by get', 'cookies', (req) => req.get('Cookie')],
  ['Authorization', 'authorization', (req) => req.headers.authorization],
  ['the same by get', 'authorization', (req) => req.get('AUTHORIZATION')],
  ['the same by header', 'authorization', (req) => req.header('authorization')],
  ['the same by what came', 'authorization', (req) => req.headersDistinct['authorization']],
  ['the headers one by one', 'cookies authorization', (req) => ({ ...req.headers })],
  ['the headers as they came', 'cookies authorization', (req) => req.rawHeaders[0]],
]

const free: readonly (readonly [string, (req: Guarded) => unknown])[] = [
  ['the path', (req) => req.path],
  ['the method', (req) => req.method],
  ['the query', (req) => req.query['page']],
  ['what it accepts', (req) => req.accepts(['html', 'json'])],
  ['another header', (req) => [req.headers.host, req.get('X-Kind'), req.headers['x-kind']]],
  ['the tenant, unless it is named', (req) => req.tenant.id],
  ['another variable', (req): unknown => req.res?.locals['title']],
  ['a header of its response', (req) => req.res?.get('X-Powered-By')],
  ['the application', (req) => req.app.get('env') as string],
]

const REQUEST: RequestOptions = {
  headers: { Cookie: 'theme=dark', Authorization: 'Basic x', 'X-Kind': 'odd', Accept: '*/*' },
}

describe.each(oneExpress)('guard(req) in $version', ({ express }) => {
  async function guarded<T>(
    action: (req: Guarded, fragments: FragmentCache) => Promise<T>,
    options?: GuardOptions,
    { strict = true }: { strict?: boolean } = {},
  ): Promise<T> {
    const fragments = new FragmentCache(createCaches({ default: new LocMemCache() }), { strict })
    const app: Express = express()
    app.use(session({ secret: 'x', resave: false, saveUninitialized: false }), signIn)
    let result: { readonly value: T } | { readonly error: unknown } | undefined
    app.get('/p', (req, res) => {
      Object.assign((req as Guarded).session, { cart: { total: 3 } })
      action(guard(req as Guarded, options), fragments)
        .then(
          (value) => (result = { value }),
          (error: unknown) => (result = { error }),
        )
        .finally(() => res.end())
    })
    await (await Site.open(app)).get('/p?page=2', REQUEST)
    if (result === undefined) throw new Error('the view did not run')
    if ('error' in result) throw result.error
    return result.value
  }

  /** The inputs that have to be declared for a fragment whose body does this. */
  async function inputsOf(
    read: (req: Guarded) => unknown,
    options?: GuardOptions,
  ): Promise<readonly string[]> {
    return guarded(async (req, fragments) => {
      const needed: string[] = []
      for (const input of ['user', 'session', 'cookies', 'authorization', 'cart', 'tenant']) {
        const others = ['user', 'session', 'cookies', 'authorization', 'cart', 'tenant'].filter(
          (other) => other !== input,
        )
        const name = `without-${input}`
        try {
          await fragments.render({ name, inputs: others }, () => String(read(req)))
        } catch (error) {
          expect(error).toMatchObject({ code: 'FRAGCACHE_TAG', fragment: name })
          expect(String(error)).toContain(input)
          needed.push(input)
        }
      }
      return needed
    }, options)
  }

  it.each(reads)('%s counts as %s', async (_what, inputs, read) => {
    expect(await inputsOf(read)).toEqual(inputs.split(' '))
  })

  it.each(free)('%s is free to read', async (_what, read) => {
    expect(await inputsOf(read)).toEqual([])
  })

  it.each<[string, (req: Guarded) => unknown, (taken: never) => unknown]>([
    ['an object', (req) => req.user, (user: User) => user.name],
    ['a frozen one', (req) => req.user.address, ({ city }: User['address']) => city],
    ['a list', (req) => req.user.roles, (roles: string[]) => roles.length],
    ['a frozen list', (req) => req.user.address.lines, ([line]: string[]) => line],
    ['what a method gave', (req) => req.user.boss(), (boss: User) => boss.name],
    ['what came by promise', (req) => req.user.load(), (user: User) => user.name],
    ['what a Map held', (req) => req.user.flags.get('beta'), (one: { since: 7 }) => one.since],
    ['a method', (req) => req.user.seen.getTime, (time: () => number) => time.call(new Date(0))],
    ['an object of a loop', (req) => [...req.user.flags][0]?.[1], (one: { since: 7 }) => one.since],
  ])('%s that was taken earlier counts when it is read', async (_what, take, read) => {
    await guarded(async (req, fragments) => {
      const taken = (await take(req)) as never
      const render = (inputs: string[]) =>
        fragments.render({ name: `a${inputs.length}`, inputs }, () => String(read(taken)))
      await expect(render([])).rejects.toMatchObject({ code: 'FRAGCACHE_TAG' })
      expect(await render(['user'])).toBe(String(read(taken)))
    })
  })

  it('gives what the request gives', async () => {
    await guarded(async (req) => {
      const { user } = req
      expect(user.name).toBe('Ann')
      expect(user.greet('Hi')).toBe('Hi, Ann')
      expect(user.boss().name).toBe('Zoe')
      expect((await user.load()).name).toBe('Ann')
      expect(user.is(req.user)).toBe(true)
      expect(user).toBe(req.user)
      expect(user).toBeInstanceOf(User)
      expect(user.address.city).toBe('Ulm')
      expect(JSON.stringify(user.address)).toBe('{"city":"Ulm","lines":["1","2"]}')
      expect([...user.roles, ...user.address.lines]).toEqual(['editor', 'author', '1', '2'])
      expect(Array.isArray(user.address.lines)).toBe(true)
      expect(user.roles.map((role) => role.length)).toEqual([6, 6])
      expect(user.seen.getTime()).toBe(0)
      expect(user.flags.get('beta')?.since).toBe(7)
      expect(Object.keys(user)).toEqual(['roles', 'address', 'seen', 'flags'])
      expect(Object.prototype.hasOwnProperty.call(user, 'roles')).toBe(true)
      expect(req.get('X-Kind')).toBe('odd')
      expect(req.get('authorization')).toBe('Basic x')
      expect(req.accepts(['html', 'json'])).toBe('html')
      expect(req.cookies).toEqual({ theme: 'dark' })
      expect(req.protocol).toBe('http')
      expect(guard(req)).toBe(guard(guard(req)))
    })
  })

  it('hands on what is written to it', async () => {
    await guarded(async (req) => {
      req.session.views = (req.session.views ?? 0) + 1
      delete req.session.cart
      expect(req.session).toMatchObject({ views: 1 })
      expect('cart' in req.session).toBe(false)
    })
  })

  it('knows more inputs of the application', async () => {
    expect(await inputsOf((req) => req.tenant.id, { inputs: ['tenant'] })).toEqual(['tenant'])
    const inputs = { cart: 'session.cart', tenant: 'headers.X-Kind' }
    expect(await inputsOf((req) => req.session.cart?.total, { inputs })).toEqual([
      'session',
      'cart',
    ])
    for (const read of [
      (req: Guarded) => req.get('x-kind'),
      (req: Guarded) => req.headers['x-kind'],
      (req: Guarded) => req.headersDistinct['x-kind'],
    ]) {
      expect(await inputsOf(read, { inputs })).toEqual(['tenant'])
    }
    expect(await inputsOf((req) => req.tenant.id, { inputs })).toEqual([])
  })

  it('keeps what reads a visitor out of the cache where it is not strict', async () => {
    const texts = await guarded(
      async (req, fragments) => {
        let runs = 0
        const shown: string[] = []
        for (let i = 0; i < 2; i++) {
          shown.push(await fragments.render({ name: 'a' }, () => `${req.user.name} ${++runs}`))
        }
        return shown
      },
      undefined,
      { strict: false },
    )
    expect(texts).toEqual(['Ann 1', 'Ann 2'])
  })

  it('says what is wrong with what it is given', async () => {
    await guarded(async (req) => {
      const give = (options: unknown) => () => guard(req, options as GuardOptions)
      expect(() => guard(7 as unknown as Request)).toThrow('guard: 7 is not a request')
      expect(give(null)).toThrow('guard: null are not options')
      expect(give({ input: [] })).toThrow('unknown option "input"')
      expect(give({ inputs: 'cart' })).toThrow('inputs: "cart" is neither')
      expect(give({ inputs: [7] })).toThrow("inputs: 7 is not a path such as 'session.cart'")
      expect(give({ inputs: { cart: 'session..cart' } })).toThrow('inputs: cart: "session..cart"')
    })
  })
})
