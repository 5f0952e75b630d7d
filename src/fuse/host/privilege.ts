/** Root mounts directly (in a container: with CAP_SYS_ADMIN), other users through fusermount3. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0
}
