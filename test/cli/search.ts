import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processTree } from '../harness/processes.ts'

/** Everything that a run writes, by what it is, to be searched for what must not be in it. */
export class Written {
  readonly #texts = new Map<string, string>()

  get size(): number {
    return this.#texts.size
  }

  add(name: string, text: string | Buffer): void {
    this.#texts.set(name, typeof text === 'string' ? text : text.toString('latin1'))
  }

  /** What other users see of a process and its descendants. */
  addProcesses(name: string, pid: number): void {
    for (const each of processTree(pid)) {
      for (const file of ['cmdline', 'comm'])
        this.add(`${file} of ${each}, ${name}`, readFileSync(`/proc/${each}/${file}`))
    }
  }

  /** Every file below a directory, except below `but`. */
  addFiles(directory: string, but?: string): void {
    for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile() && (but === undefined || !path.startsWith(`${but}/`))) this.add(path, readFileSync(path))
    }
  }

  /** What contains one of the texts. */
  with(texts: readonly string[]): string[] {
    return [...this.#texts].filter(([, text]) => texts.some((each) => text.includes(each))).map(([name]) => name)
  }
}
