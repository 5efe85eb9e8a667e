/** The command line of `npm run chaos`. */
import { parseArgs } from 'node:util'
import { FAULTS } from './faults.mjs'
import { PLANTS } from './plants.mjs'
import { STORES } from './stores.mjs'

const LAST_PLANT = Math.max(...Object.keys(PLANTS).map(Number))

export function toPlan(args) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      store: { type: 'string' },
      faults: { type: 'string' },
      seconds: { type: 'string' },
      workers: { type: 'string' },
      seed: { type: 'string' },
      plant: { type: 'string' },
    },
  })
  const { short } = values
  return {
    isShort: short,
    stores: toList('store', values.store, STORES),
    faults: values.faults === 'none' ? [] : toList('faults', values.faults, FAULTS),
    seconds: toNumber('seconds', values.seconds, short ? 1.7 : 20, { min: 0, max: 86_400 }),
    workers: toNumber('workers', values.workers, short ? 4 : 8, { min: 2, max: 64, whole: true }),
    seed: toNumber('seed', values.seed, 1, { min: 0, max: 2 ** 32 - 1, whole: true }),
    plant: toNumber('plant', values.plant, undefined, { min: 1, max: LAST_PLANT, whole: true }),
  }
}

function toList(option, text, all) {
  if (text === undefined) return all
  const names = text.split(',')
  for (const name of names) {
    if (!all.includes(name)) {
      throw new Error(`--${option} ${name} is unknown; there are ${all.join(', ')}`)
    }
  }
  return all.filter((name) => names.includes(name))
}

function toNumber(option, text, otherwise, { min, max, whole = false }) {
  if (text === undefined) return otherwise
  const number = text === '' ? NaN : Number(text)
  if (number >= min && number <= max && (!whole || Number.isInteger(number))) return number
  const kind = whole ? 'whole number' : 'number'
  throw new Error(`--${option} ${text} is no ${kind} from ${min} to ${max}`)
}
