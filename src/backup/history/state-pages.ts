import { LTXError } from '../../ltx/format/errors.ts'
import type { Header } from '../../ltx/format/header.ts'
import type { Pgno } from '../../ltx/format/types.ts'
import { PageSet } from '../../sqlite/page-set.ts'

/** Which pages the files of a backup have brought: the one rule of restore and verify for a state to be whole. */
export class StatePages {
  readonly #pages = new PageSet()
  #last: Header | undefined

  /** Before the pages of files that end with this header. `name` is the first one's. Throws LTXError. */
  begin(last: Header, name: string): void {
    const before = this.#last?.pageSize ?? last.pageSize
    if (last.pageSize !== before) {
      const problem = `${last.pageSize} is not the ${before} of the files before it`
      throw new LTXError(problem, { field: 'page size', file: name })
    }
    this.#pages.truncate(last.commit)
    this.#last = last
  }

  add(pgno: Pgno): void {
    this.#pages.add(pgno)
  }

  /** Why the state is not whole; undefined when it is. */
  problem(): string | undefined {
    if (this.#last === undefined) return undefined
    const { commit, pageSize } = this.#last
    const missing = this.#pages.firstMissing(commit, pageSize)
    return missing === undefined ? undefined : `page ${missing} of ${commit} is in no file up to it`
  }
}
