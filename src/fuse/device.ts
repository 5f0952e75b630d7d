/** The device that a session reads requests from. */
export interface Device {
  readonly device: number
  /**
   * Of a bridge's socket the end that requests are written to, while there is a bridge: nothing but that can reach its
   * session.
   */
  readonly bell?: number | undefined
}

export interface Mounted extends Device {
  /** Where another process serves it: how that ended, if not as it should. */
  readonly end?: string | undefined
  /** Ends the mount's life, if it still has one. */
  close(): Promise<void>
}
