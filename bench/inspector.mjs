/**
 * What it costs a site that somebody looks at its inspector: 1,000 fragments a second of 10,000, with the live feed and
 * the table of fragments open and polled as the page does, against nobody. Both sites run at the same time, each in a
 * process of its own, under the same load; whoever looks is in this one. The ratio is that of their processor times;
 * behind it stands what of one processor the difference is. The sites do next to nothing but put fragments together.
 * They are measured once they have run for a minute: until then the engine compiles what the inspector adds. There are
 * several pairs of them, since one process may always take a tenth more than another of the same kind.
 */
import { spawn } from 'node:child_process'
import { Agent, get } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { goal, median, summary } from './measure.mjs'

const PAIRS = Number(process.env.BENCH_PAIRS ?? 3)
/** Of each pair. */
const TURNS = 3
const TURN_MS = 10_000
const WARM_MS = 60_000
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
  const turns = []
  for (let pair = 0; pair < PAIRS; pair++) turns.push(...(await measurePair(pair % 2 === 0)))
  const times = summary(turns.map(({ alone, looked }) => looked / alone))
  const percent = (part) => `${(100 * part).toFixed(1)} %`
  const more = median(turns.map(({ alone, looked }) => looked - alone))
  return [
    goal(
      'inspector',
      'site at 1,000 fragments a second of 10,000, looked at / not',
      times,
      TARGET,
      `${percent(more)} of a processor more than ${percent(median(turns.map(({ alone }) => alone)))}`,
    ),
  ]
}

/**
 * @param {boolean} isAloneFirst - Which site starts first.
 * @returns {Promise<{ alone: number, looked: number }[]>} What of one processor each site takes, in each turn.
 */
async function measurePair(isAloneFirst) {
  const sites = [await Site.start(), await Site.start()]
  const [alone, looked] = isAloneFirst ? sites : [...sites].reverse()
  try {
    alone.load()
    looked.load()
    looked.look()
    await sleep(WARM_MS)
    const cpuMs = () => Promise.all([alone.cpuMs(), looked.cpuMs()])
    const turns = []
    let before = await cpuMs()
    for (let turn = 0; turn < TURNS; turn++) {
      const startMs = performance.now()
      await sleep(TURN_MS)
      const after = await cpuMs()
      const passedMs = performance.now() - startMs
      const [ofAlone, ofLooked] = after.map((ms, i) => (ms - before[i]) / passedMs)
      turns.push({ alone: ofAlone, looked: ofLooked })
      before = after
    }
    return turns
  } finally {
    for (const site of sites) site.stop()
  }
}
