import { lstatSync, readdirSync } from 'node:fs'

/** Whatever can be walked below a path, by its path, with its permissions; `skip` and what is in it is left out. */
export function modesBelow(path: string, skip: readonly string[] = []): Map<string, string> {
  const found = new Map<string, string>()
  const walk = (at: string) => {
    if (skip.includes(at)) return
    const stats = lstatSync(at)
    const kind = stats.isDirectory() ? 'directory' : 'file'
    found.set(at, `${kind} ${(stats.mode & 0o777).toString(8)}`)
    if (stats.isDirectory()) for (const name of readdirSync(at)) walk(`${at}/${name}`)
  }
  walk(path)
  return found
}

/** What has another mode than these. */
export function others(found: Map<string, string>, directory: string, file: string): string[] {
  return Array.from(found)
    .filter(([, mode]) => mode !== `directory ${directory}` && mode !== `file ${file}`)
    .map(([path, mode]) => `${path}: ${mode}`)
}
