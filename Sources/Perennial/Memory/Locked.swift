/// A value that threads take turns with, under a ``SpinLock``: keep what runs inside short, and never suspend there.
///
/// `@unchecked Sendable`: `value` is reached only in `withLock`, between taking and releasing the lock, and `sending`
/// keeps what is inside from being shared with the outside.
struct Locked<Value>: ~Copyable, @unchecked Sendable {
    private let spinLock = SpinLock()
    private let value: UnsafeMutablePointer<Value>

    init(_ initial: consuming sending Value) {
        value = .allocate(capacity: 1)
        value.initialize(to: initial)
    }

    deinit {
        value.deinitialize(count: 1)
        value.deallocate()
    }

    borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        spinLock.lock()
        defer { spinLock.unlock() }
        return try body(&value.pointee)
    }
}
