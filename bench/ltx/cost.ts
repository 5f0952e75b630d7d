/** What one task cost, as the process that did it says on its last line. The same in bench/reference/main.go. */
export interface Cost {
  /** Pages, or whole files. */
  readonly operations: number
  /** From the task's beginning to its end: a process's start is not part of it, compiling hot code is. */
  readonly seconds: number
  /** User and system time of all threads within that. */
  readonly cpuSeconds: number
  /** The most memory that the process ever had resident. */
  readonly peakBytes: number
  /** Bytes afterwards by bytes before, of what was compressed. */
  readonly share?: number
}

export const TASKS = ['compact', 'verify', 'encode', 'crc', 'compress', 'decompress'] as const
export type TaskName = (typeof TASKS)[number]

export const PAGE_SIZE = 4096
