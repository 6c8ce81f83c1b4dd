/** Loaded into a server only where there is no /proc. */
process.on('message', () => process.send?.(process.cpuUsage()))
process.channel?.unref()
