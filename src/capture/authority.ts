import type { Caller } from '../fuse/content.ts'

/** Who may change databases, as the node's role has it. Asked at each write and each commit: cheap, and without a word from anyone. */
export interface Authority {
  /** This node is its databases' primary: applications write. Otherwise it is a replica, and only the local client does (I5). */
  readonly leads: boolean
  /** Whether a commit may be acknowledged now: the lease has not run out (I6). Asked only while the node leads. */
  mayCommit(): boolean
  /** Whether this is the process that applies what the primary sent. */
  isClient(caller: Caller): boolean
}

/** A node of its own, which nobody else's lease concerns. Recovery works under it too. */
export const SOLE: Authority = { leads: true, mayCommit: () => true, isClient: () => false }
