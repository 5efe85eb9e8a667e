import pg from 'pg'

const RETRY_MS = 200

/**
 * A bus over PostgreSQL's LISTEN and NOTIFY.
 *
 * @param {string} connectionString
 * @param {string} channel - A name of lower-case letters, digits and underscores.
 * @returns {import('fragcache/tiered').Bus & { close(): Promise<void> }}
 */
export function postgresBus(connectionString, channel = 'fragcache') {
  const pool = new pg.Pool({ connectionString, max: 1 })
  pool.on('error', () => undefined)
  return {
    async publish(text) {
      await pool.query('SELECT pg_notify($1, $2)', [channel, text])
    },

    subscribe({ message, up, down }) {
      let stopped = false
      /** @type {NodeJS.Timeout | undefined} */
      let retry
      /** @type {pg.Client | undefined} */
      let client
      const listen = async () => {
        const one = new pg.Client({ connectionString, keepAlive: true })
        client = one
        let isHeard = false
        one.on('notification', ({ payload }) => {
          if (payload) return message(payload)
          if (!isHeard) up()
          isHeard = true
        })
        one.on('error', () => undefined)
        one.on('end', () => {
          down()
          if (!stopped) retry = setTimeout(listen, RETRY_MS)
        })
        try {
          await one.connect()
          await one.query(`LISTEN ${channel}`)
          // Where nothing comes back, as behind PgBouncer in transaction mode, it never is up.
          await pool.query('SELECT pg_notify($1, $2)', [channel, ''])
        } catch {
          await one.end().catch(() => undefined)
        }
      }
      void listen()
      return async () => {
        stopped = true
        clearTimeout(retry)
        await client?.end()
      }
    },

    close: () => pool.end(),
  }
}
