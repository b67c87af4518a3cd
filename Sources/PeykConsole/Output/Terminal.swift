import Foundation

/// What the standard streams of this process are.
public enum Terminal {
    public enum Stream: Sendable { case output, error }

    public static func isTerminal(_ stream: Stream) -> Bool {
        isatty(stream == .output ? STDOUT_FILENO : STDERR_FILENO) == 1
    }

    /// Whether a person can be asked something.
    public static var canAsk: Bool { isatty(STDIN_FILENO) == 1 && isTerminal(.error) }

    /// Colour only on a terminal, and never with `NO_COLOR` (https://no-color.org) or a dumb terminal.
    public static func hasColour(_ stream: Stream) -> Bool {
        let environment = ProcessInfo.processInfo.environment
        return isTerminal(stream) && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }

    /// Columns of the terminal; nil where the stream is none.
    public static func width(_ stream: Stream = .output) -> Int? {
        var size = winsize()
        let file = stream == .output ? STDOUT_FILENO : STDERR_FILENO
        guard ioctl(file, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// Writes all bytes, or stops where the reader has gone (a closed pipe is no error of ours).
    public static func write(_ text: String, to stream: Stream = .output) {
        var bytes = Array(text.utf8)[...]
        let file = stream == .output ? STDOUT_FILENO : STDERR_FILENO
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Foundation.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// A message to standard error, one line.
    public static func message(_ text: String) { write(text + "\n", to: .error) }

    /// Asks on the terminal; true only for an answer that begins with y, Y or ب (بله).
    public static func confirm(_ question: String) -> Bool {
        write(question + " [y/N] ", to: .error)
        guard let answer = readLine()?.trimmingCharacters(in: .whitespaces).lowercased() else { return false }
        return answer.hasPrefix("y") || answer.hasPrefix("ب")
    }
}
