/** What the benchmark `express` serves, and the servers that are no Node process. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, startServer } from './servers.mjs'

/** An HTML page of so many bytes, all ASCII, with as much repetition as pages have. */
export function page(bytes) {
  const head = '<!doctype html><html lang="en"><head><title>News</title></head><body><ul>\n'
  const tail = '</ul></body></html>\n'
  let body = ''
  for (let i = 0; body.length < bytes; i++) {
    const code = ((i * 2654435761) >>> 0).toString(36)
    body += `<li class="item"><a href="/news/${i}-${code}">Story ${code}, number ${i}</a></li>\n`
  }
  return head + body.slice(0, bytes - head.length - tail.length) + tail
}

/** Caches in front of a server on `originPort`, as `{ command, args, port, folder }`. */
export const proxies = {
  async 'nginx proxy_cache'(originPort) {
    const port = await freePort()
    const folder = mkdtempSync(join(tmpdir(), 'fragcache-bench-'))
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    for (const name of paths) mkdirSync(join(folder, name))
    const config = join(folder, 'nginx.conf')
    writeFileSync(
      config,
      `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
       ${process.getuid?.() === 0 ? 'user root;' : ''}
       events { worker_connections 256; }
       http {
         access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
         ${paths.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')}
         proxy_cache_path ${folder}/cache keys_zone=pages:1m;
         server {
           listen 127.0.0.1:${port};
           location / {
             proxy_pass http://127.0.0.1:${originPort};
             proxy_cache pages; proxy_cache_valid 200 10m;
           }
         }
       }`,
    )
    return { command: 'nginx', args: ['-e', join(folder, 'error.log'), '-c', config], port, folder }
  },
  async Varnish(originPort) {
    const port = await freePort()
    const folder = mkdtempSync(join(tmpdir(), 'fragcache-bench-'))
    const args = ['-F', '-j', 'none', '-n', folder, '-a', `127.0.0.1:${port}`]
    args.push('-b', `127.0.0.1:${originPort}`, '-s', 'malloc,64m', '-t', '600')
    return { command: 'varnishd', args, port, folder }
  },
}

/**
 * @returns {Promise<{ pid: number, port: number, stop(): Promise<void> }>}
 * @throws {Error} The program is not installed, or it ended at once.
 */
export async function startProxy(name, originPort, core) {
  const { command, args, port, folder } = await proxies[name](originPort)
  const [program, ...rest] = [...core, command, ...args]
  const { pid, stop } = await startServer({ command: program, args: rest, listensAt: port })
  const remove = () => rmSync(folder, { recursive: true, force: true })
  return { pid, port, stop: () => stop().then(remove) }
}
