//! Blocks of lines: each is answered in turn.

use crossfade_protocol::Fault;
use crossfade_protocol::limits::LINE_BYTES_MAX;
use crossfade_protocol::request::Message;

use super::{Engine, scan, write};

impl Engine {
    /// Serves the lines of a block, in order.
    pub(super) fn serve(&mut self, block: &[u8], out: &mut Vec<u8>) {
        // One check for the block; line by line only where something is wrong.
        let text = std::str::from_utf8(block);
        let mut at = 0;
        while at < block.len() {
            self.lines += 1;
            // Knows where its line ends without having looked for that before.
            let scanned = text.ok().and_then(|text| text.get(at..)).and_then(scan::get_users);
            if let Some((message, len)) = scanned {
                self.get_users_scanned(&message, out);
                at += len + 1;
                continue;
            }
            let rest = block.get(at..).unwrap_or_default();
            let line = at..at + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            at = line.end + 1;
            if block[line.clone()].trim_ascii().is_empty() {
                continue;
            }
            let line = match text {
                Ok(text) => text.get(line).ok_or(0),
                Err(_) => std::str::from_utf8(&block[line]).map_err(|e| e.valid_up_to()),
            };
            match line {
                Ok(line) => self.serve_line(line, out),
                Err(at) => {
                    let fault = Fault::malformed(format!("not UTF-8 at column {}", at + 1));
                    self.refuse_at(None, &fault, out);
                }
            }
        }
    }

    /// Answers one line that is no part of the input: the numbers of lines in later
    /// answers do not move, nor does time. For a front that asks on its own behalf.
    pub fn ask(&mut self, line: &str, out: &mut Vec<u8>) {
        self.serve_line(line, out);
    }

    fn serve_line(&mut self, line: &str, out: &mut Vec<u8>) {
        // A byte order mark in front of the text is no part of it (RFC 8259, 8.1).
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.len() > LINE_BYTES_MAX {
            let fault = Fault::malformed(format!(
                "{} bytes are over the limit of {LINE_BYTES_MAX} for one line",
                line.len()
            ));
            return self.refuse_at(None, &fault, out);
        }
        // Again for a line of a block that was not all UTF-8.
        if let Some((message, len)) = scan::get_users(line)
            && len == line.len()
        {
            return self.get_users_scanned(&message, out);
        }
        match Message::read(line, self.versions()) {
            Ok(message) => self.answer(message, out),
            Err(unreadable) => {
                let fault = &unreadable.fault;
                if unreadable.msg_id.is_none() {
                    // Without an id to reply to, the line number is how to find the culprit.
                    self.refuse_at(unreadable.address.as_ref(), fault, out);
                } else {
                    let to = self.reply_to(unreadable.address.as_ref(), unreadable.msg_id);
                    write::error(out, to, fault);
                }
            }
        }
    }
}
