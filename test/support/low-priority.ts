import { setPriority } from 'node:os'

// What runs beside tests of time limits leaves the processor to those; its child processes do too.
setPriority(10)
