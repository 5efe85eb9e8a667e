import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, BrowserContext, ConsoleMessage, Page } from 'playwright-core'

/** How a page is shown; what is left out is as in a browser that nobody has set up. */
export interface Screen {
  readonly viewport?: { readonly width: number; readonly height: number }
  readonly colorScheme?: 'light' | 'dark'
  readonly reducedMotion?: 'reduce' | 'no-preference'
}

/**
 * A tab that shows one page after the other, each as a new tab would. A new one has a process of its own, which has to
 * start and to compile everything again: that takes a second of a processor, longer than most tests.
 */
export class Tab {
  private constructor(
    private readonly context: BrowserContext,
    private readonly page: Page,
    private readonly nowhere: http.Server,
  ) {}

  /** @param options - What cannot be changed once it is open. */
  static async open(browser: Browser, options: { readonly hasTouch?: boolean } = {}): Promise<Tab> {
    // Of the same site as the pages, so that its process is theirs. The browser's own empty page has another.
    const nowhere = http.createServer((_req, res) => {
      res
        .setHeader('Content-Type', 'text/html')
        .end('<!doctype html><link rel="icon" href="data:">')
    })
    nowhere.listen(0, '127.0.0.1')
    await once(nowhere, 'listening')
    const context = await browser.newContext(options)
    return new Tab(context, await context.newPage(), nowhere)
  }

  /**
   * Opens a URL for as long as the work takes.
   *
   * @param work - Is given what failed in the page until then, and later too.
   */
  async show(
    url: string,
    { viewport, colorScheme, reducedMotion }: Screen,
    work: (page: Page, faults: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const { page } = this
    const faults: string[] = []
    const onError = (error: Error) => void faults.push(error.message)
    const onMessage = (message: ConsoleMessage) => {
      if (message.type() === 'error') faults.push(message.text())
    }
    await page.setViewportSize(viewport ?? { width: 1280, height: 720 })
    await page.emulateMedia({
      colorScheme: colorScheme ?? 'light',
      reducedMotion: reducedMotion ?? 'no-preference',
    })
    page.on('pageerror', onError)
    page.on('console', onMessage)
    try {
      await page.goto(url)
      await work(page, faults)
    } finally {
      page.off('pageerror', onError)
      page.off('console', onMessage)
      await this.#leave()
    }
  }

  /** Nothing that the page kept or heard of, nor where the mouse was, is there for the next. */
  async #leave(): Promise<void> {
    const { page, context } = this
    // The page may be reading something just now.
    await page.unrouteAll({ behavior: 'ignoreErrors' })
    await page.evaluate('sessionStorage.clear(), localStorage.clear()')
    await context.clearCookies()
    await page.mouse.move(-1, -1)
    const { port } = this.nowhere.address() as AddressInfo
    await page.goto(`http://127.0.0.1:${port}/`)
  }

  async close(): Promise<void> {
    await this.context.close()
    this.nowhere.closeAllConnections()
    this.nowhere.close()
  }
}
