import type { PrimaryHello } from '../wire/messages.ts'
import type { Lane } from './lane.ts'
import type { StreamSink } from './sink.ts'

/** The client's side of a connection. */
export interface PrimaryStreamHost {
  readonly sink: StreamSink
  readonly url: string
  /** Databases that the primary may name. */
  readonly maxNames: number
  /** The highest term that this node has seen. */
  term(): bigint
  /** The database's lane, made where there is none. Throws StreamProtocolError. */
  lane(name: string): Lane
  existing(name: string): Lane | undefined
  lanes(): Iterable<Lane>
  connected(hello: PrimaryHello): void
  /** Something that came by this connection is applied. */
  applied(): void
  /** `withholds`: all but what the primary lacks itself. */
  caughtUp(withholds: boolean): void
  arrived(timestampMs: number): void
  /** `hasAll`: everything that the primary has committed was received. */
  alive(hasAll: boolean): void
}
