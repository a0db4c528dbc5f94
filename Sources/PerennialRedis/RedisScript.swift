/// A piece of Lua that runs in the server, as one step.
package struct RedisScript: Sendable {
    let name: String
    let source: String

    package init(_ name: String, _ source: String) {
        self.name = name
        self.source = source
    }
}

extension RedisScript {
    /// For the scripts of queues, behind their names for a job's fields (`STATE`, `AT`, `QUEUED`).
    package static let correcting = """
        -- Returns until when a job waits, or is held, whose times a clock has made that was ahead, and mends when it was
        -- queued; nothing when they may be right. All times are texts.
        local function corrected(item, queuedAfter, dueAfter, heldAfter, now)
            local at, queued = tonumber(item[AT]), tonumber(item[QUEUED])
            if item[STATE] == '1' then return at > tonumber(heldAfter) and heldAfter or nil end
            if item[STATE] ~= '0' or queued <= tonumber(queuedAfter) and at <= tonumber(dueAfter) then return nil end
            if queued > tonumber(now) then item[QUEUED] = now end
            return now
        end

        """
}
