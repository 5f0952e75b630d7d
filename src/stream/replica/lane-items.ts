import type { Position } from '../../ltx/format/types.ts'
import type { Body } from '../wire/body.ts'

/** Reports bytes that were consumed, to the connection that they came from, which may have ended by then. */
export type Consumed = (database: string, bytes: number) => void

/** What waits for the sink. */
export interface Item {
  /** In addition to the bytes of its body. */
  readonly costBytes: number
  readonly consumed: Consumed
  /** The database's position after this item. */
  readonly after: Position | undefined
  readonly body: Body | undefined
  /** It is passed on even when this node no longer follows: nothing that was received is lost with its sender. */
  readonly isKept: boolean
  run(): Promise<void>
}

export interface WantedRestart {
  readonly number: number
  /** Undefined requests a snapshot. */
  readonly position: Position | undefined
  readonly reason: string
}
