#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Returns when standard input ends or the task is cancelled: how a child notices that its parent is gone.
func inputEnd() async {
    while !Task.isCancelled {
        var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        if poll(&descriptor, 1, 0) > 0 {
            var buffer: (UInt64, UInt64) = (0, 0)
            if read(STDIN_FILENO, &buffer, 16) <= 0 { return }
        }
        try? await Task.sleep(for: .milliseconds(100))
    }
}
