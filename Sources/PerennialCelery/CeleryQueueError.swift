/// What is wrong with the address of Celery's broker, and what to do about it. Names no password.
public struct CeleryQueueError: Error, Hashable, CustomStringConvertible {
    public let description: String

    package init(_ description: String) {
        self.description = description
    }
}
