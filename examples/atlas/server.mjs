import { parseArgs } from 'node:util'

const usage = `Usage: npm run demo -- [options]

  --port NUMBER         listen there; default: PORT, else any free port
  --cache memory        keep everything in this process (default)
  --cache file:DIR      keep everything in files below DIR
  --cache redis://HOST  on a Redis server; also memcached://HOST:PORT
  --cache sqlite:FILE   in a database; also postgres://HOST/DATABASE, mysql://HOST/DATABASE
  --cache none          keep nothing, to see what pages cost then
  --overlay             outline on each page what became of its fragments
  --check               run through all pages cold and warm, print what they cost, and stop
  --every NUMBER        with --check: of the countries only every so-many-th
`

function options() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: process.env.PORT || '0' },
      cache: { type: 'string' },
      overlay: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      every: { type: 'string', default: '1' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const port = Number(values.port)
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(`--port is ${JSON.stringify(values.port)}; give a number from 0 to 65535`)
  }
  const every = Number(values.every)
  if (!Number.isInteger(every) || every < 1) {
    throw new Error(`--every is ${JSON.stringify(values.every)}; give a whole number from 1`)
  }
  return { ...values, port, every }
}

async function serve({ port, cache, overlay: isOutlined }) {
  const { createSite, engineNames } = await import('./site.mjs')
  const { app, close } = await createSite(cache, { isOutlined })
  const server = app.listen(port, '127.0.0.1', (error) => {
    if (error) throw error
    const { port: actual } = server.address()
    console.log(`Atlas is at http://127.0.0.1:${actual}/`)
    for (const name of engineNames) console.log(`  http://127.0.0.1:${actual}/${name}/`)
    console.log('What its caches do:')
    for (const name of engineNames) console.log(`  http://127.0.0.1:${actual}/__cache/${name}/`)
    console.log('Stop it with Ctrl+C.')
  })
  const stop = () => {
    server.close(() => void close())
    server.closeAllConnections()
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
}

try {
  const given = options()
  if (given.help) console.log(usage)
  else if (given.check) process.exitCode = await (await import('./check.mjs')).check(given)
  else await serve(given)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
