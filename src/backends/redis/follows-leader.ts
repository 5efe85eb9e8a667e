import { TimeLimit } from '../../time-limit.js'
import { isRefusal } from './changes.js'
import type { IoClient } from './client.js'
import { connectionsOf, type Connections } from './connections.js'
import { Gate } from './gate.js'
import type { Link } from './link.js'
import type { SameServer } from './same-server.js'

/** Milliseconds for which a replica may show a state that the leader has left behind. */
const REPLICA_INTERVAL_MS = 1000

/**
 * Leaves out a replica that does not follow, or whose state is of another life of the leader: one that
 * was restarted from its own snapshot, or has just been given that of its leader.
 */
export class FollowsLeader extends Gate {
  readonly #leader: SameServer
  readonly #leaderLink: Link
  readonly #limit: TimeLimit

  /** @param leaderLink - Through the gate of the leader. */
  constructor(leader: SameServer, leaderLink: Link, limitMs: number) {
    super(REPLICA_INTERVAL_MS)
    this.#leader = leader
    this.#leaderLink = leaderLink
    // A leader that hangs leaves time for the replica's answer.
    this.#limit = new TimeLimit(Math.ceil(limitMs / 2))
  }

  protected override async look(client: IoClient): Promise<Connections> {
    try {
      return await this.#lookAt(client)
    } catch (error) {
      this.close()
      throw error
    }
  }

  async #lookAt(client: IoClient): Promise<Connections> {
    const connections = connectionsOf([client])
    const { recordKey } = this.#leader
    // While the leader is away, its replicas have what it had.
    const isLed = this.#leaderLink.command('exists', recordKey).then(
      () => true,
      () => false,
    )
    const told = client.info('replication').catch((error: unknown) => {
      if (isRefusal(error)) return ''
      throw error
    })
    const asked = Promise.all([client.mgetBuffer(recordKey), told])
    const [[record], info] = (await this.#limit.race(asked)) as [readonly (Buffer | null)[], string]
    if (await this.#limit.race(isLed).catch(() => false)) {
      if (/^master_link_status:down/m.test(info)) throw new Error('the replica follows nobody')
      const { record: wanted = String(record) } = this.#leader
      if (record !== null && String(record) !== wanted) {
        throw new Error('the replica does not yet have what the leader has')
      }
    }
    return connections
  }
}
