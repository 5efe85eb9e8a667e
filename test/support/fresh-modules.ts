import { vi } from 'vitest'

// Files that share a process each get modules of their own, with what those remember.
vi.resetModules()
