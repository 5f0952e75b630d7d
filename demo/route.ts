/** Decides where a trader sends its next order. */
export interface Route {
  readonly url: string
  /** That exchange accepts no orders, and named the primary if it knows it. */
  redirected(to: string | undefined): void
  /** That exchange did not answer usefully. */
  failed(): void
}

/** The route to a single exchange. A failed order is sent to it again. */
export function onlyTo(url: string): Route {
  return { url, redirected: () => undefined, failed: () => undefined }
}
