/** Root mounts by itself (in a container: with CAP_SYS_ADMIN); all others through fusermount3. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0
}
