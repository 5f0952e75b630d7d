/** The device that a session reads requests from. */
export interface Device {
  readonly device: number
  /**
   * Of a bridge's socket the end that requests are written to, while there is a bridge: nothing but that can reach its
   * session.
   */
  readonly bell?: number | undefined
}
