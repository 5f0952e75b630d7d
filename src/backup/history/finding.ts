/** error: something cannot be restored, or is not what it claims. warning: it cannot be proven. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  /** The object concerned; absent when the finding concerns the whole backup. */
  readonly key?: string
  readonly problem: string
  /** What to do. */
  readonly advice: string
}
