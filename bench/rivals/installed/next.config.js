/** Else Next takes the folder of the bench's own lockfile for the root. */
export default { turbopack: { root: import.meta.dirname } }
