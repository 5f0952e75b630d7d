import { readFileSync } from 'node:fs'

const CHECK_INTERVAL_MS = 500

/**
 * Ends a node with the npx that started it. npx runs `sh -c ltxd …` and passes a signal on to the shell, which dies of
 * it and tells nobody: the node would run on, with its mount. Call it once SIGTERM is listened for.
 */
export function stopWithNpx(): void {
  const shell = process.ppid
  if (process.env.npm_lifecycle_event !== 'npx' || !isNpmExec(parentOf(shell))) return
  const timer = setInterval(() => {
    if (process.ppid === shell) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, CHECK_INTERVAL_MS)
  timer.unref()
  // Ctrl-C reaches all three. A second signal would be a request to leave at once.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => clearInterval(timer))
}

/** undefined when there is no such process. */
function parentOf(pid: number): number | undefined {
  const parent = /^PPid:\s+(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1]
  return parent === undefined ? undefined : Number(parent)
}

/** npm calls itself by what it does. */
function isNpmExec(pid: number | undefined): boolean {
  return pid !== undefined && /^np(m exec|x) /.test(read(`/proc/${pid}/cmdline`))
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
