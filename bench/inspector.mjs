/**
 * What it costs a site that somebody looks at its inspector: 1,000 fragments a second of 10,000, with the live feed and
 * the table of fragments open and polled as the page does, against nobody. Both sites run at the same time, each in a
 * process of its own, under the same load; whoever looks is in this one. The ratio is that of their processor times;
 * behind it stands what of one processor the difference is. The sites do next to nothing but put fragments together.
 */
import { spawn } from 'node:child_process'
import { Agent, get } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { goal, median, summary } from './measure.mjs'

const TURNS = Number(process.env.BENCH_TURNS ?? 5)
const TURN_MS = 10_000
const WARM_MS = 4000
/** Of 20 fragments each. */
const PAGES_PER_SECOND = 50
/** As the page asks, for what is in sight. */
const POLL_MS = 5000
const POLLED = ['overview', 'fragments?limit=100&sort=timeSavedMs&order=down&q=&alias=']
const TARGET = 1.05

const program = fileURLToPath(new URL('./inspector-process.mjs', import.meta.url))

/** A site, and what is asked of it. */
class Site {
  #agent = new Agent({ keepAlive: true, maxSockets: 4 })
  #timers = []
  #isStopped = false

  static async start() {
    const site = new Site()
    site.child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
    site.lines = createInterface({ input: site.child.stdout })[Symbol.asyncIterator]()
    site.port = Number((await site.lines.next()).value)
    return site
  }

  get(path) {
    return new Promise((done, failed) => {
      const options = { port: this.port, host: '127.0.0.1', path, agent: this.#agent }
      get(options, (res) => res.resume().on('end', done)).on('error', failed)
    })
  }

  load() {
    this.#every(1000 / PAGES_PER_SECOND, '/page')
  }

  look() {
    void this.get('/__cache/api/fragments')
    for (const path of POLLED) this.#every(POLL_MS, `/__cache/api/${path}`)
    const options = {
      port: this.port,
      host: '127.0.0.1',
      path: '/__cache/api/events',
      agent: false,
    }
    this.feed = get(options, (res) => res.resume())
    this.feed.on('error', () => undefined)
  }

  #every(ms, path) {
    const ask = () =>
      this.get(path).catch((error) => {
        // What was on its way when the site was stopped has no answer.
        if (!this.#isStopped) throw error
      })
    this.#timers.push(setInterval(() => void ask(), ms))
  }

  async cpuMs() {
    this.child.stdin.write('\n')
    return Number((await this.lines.next()).value)
  }

  stop() {
    this.#isStopped = true
    for (const timer of this.#timers) clearInterval(timer)
    this.feed?.destroy()
    this.#agent.destroy()
    this.child.stdin.end()
  }
}

export async function run() {
  const [alone, looked] = await Promise.all([Site.start(), Site.start()])
  try {
    alone.load()
    looked.load()
    looked.look()
    await sleep(WARM_MS)
    const turns = []
    for (let turn = 0; turn < TURNS; turn++) {
      const sites = [alone, looked]
      const before = await Promise.all(sites.map((site) => site.cpuMs()))
      const startMs = performance.now()
      await sleep(TURN_MS)
      const after = await Promise.all(sites.map((site) => site.cpuMs()))
      const passedMs = performance.now() - startMs
      turns.push(after.map((ms, i) => (ms - before[i]) / passedMs))
    }
    const times = summary(turns.map(([one, other]) => other / one))
    const percent = (part) => `${(100 * part).toFixed(1)} %`
    const more = median(turns.map(([one, other]) => other - one))
    return [
      goal(
        'inspector',
        'site at 1,000 fragments a second of 10,000, looked at / not',
        times,
        TARGET,
        `${percent(more)} of a processor more than ${percent(median(turns.map(([one]) => one)))}`,
      ),
    ]
  } finally {
    alone.stop()
    looked.stop()
  }
}
