/** Which variables of ltxd's environment other processes get. What they do not need may be secret. */

/**
 * Where ltxd takes addresses with passwords or tokens from. The application has its own variables for what it needs;
 * AWS_* are not ltxd's alone, so they pass.
 */
const OF_LTXD_ALONE: ReadonlySet<string> = new Set([
  'LTXD_BACKUP_URL',
  'LTXD_CONSUL_URL',
  'LTXD_REDIS_URL',
  'LTXD_STORES',
])

/** For the application that ltxd supervises. */
export function applicationEnvironment(mountDir: string | undefined, from = process.env): NodeJS.ProcessEnv {
  const passed = Object.entries(from).filter(([name]) => !OF_LTXD_ALONE.has(name))
  return { ...Object.fromEntries(passed), ...(mountDir !== undefined && { LTXD_MOUNT: mountDir }) }
}

/** How to find and load programs, and how to run Node.js. */
const OF_PROGRAMS = /^(PATH|HOME|USER|LANG|LC_.*|TZ|TMPDIR|LD_.*|NODE_.*|LTXD_DEBUG|LTXD_TEST_LIMITS)$/

/** For processes that ltxd starts for itself: its local client, the bridge to libfuse, mount programs. */
export function helperEnvironment(more: NodeJS.ProcessEnv = {}, from = process.env): NodeJS.ProcessEnv {
  const passed = Object.entries(from).filter(([name]) => OF_PROGRAMS.test(name))
  return { ...Object.fromEntries(passed), ...more }
}
