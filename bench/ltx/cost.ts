/** The cost of a task, as its process prints it on the last line. The same in bench/reference/main.go. */
export interface Cost {
  /** Pages, or whole files. */
  readonly operations: number
  /** The time of the task, without the start of the process, but with the compilation of hot code. */
  readonly seconds: number
  /** The user and system time of all threads during the task. */
  readonly cpuSeconds: number
  /** The peak resident memory of the process. */
  readonly peakBytes: number
  /** The compressed size divided by the original size. */
  readonly share?: number
}

export const TASKS = ['compact', 'verify', 'encode', 'crc', 'compress', 'decompress'] as const
export type TaskName = (typeof TASKS)[number]

export const PAGE_SIZE = 4096
