//! [`TemplateClock`]: the time for `strftime_now`. Templates have no clock of their own, so that rendering is
//! deterministic and works without an operating system.

/// Date and time in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateClock {
    year: i64,
    /// 1 to 12.
    month: usize,
    /// 1 to 31.
    day: u64,
    /// 0 (Sunday) to 6.
    weekday: usize,
    /// 0 to 86,399.
    second_of_day: u64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const UNIX_EPOCH_DAY: i64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

impl TemplateClock {
    /// The time that is `seconds` after 1970-01-01 00:00:00 UTC.
    ///
    /// The date is computed as `civil_from_days` of Howard Hinnant ("chrono-compatible low-level date algorithms"):
    /// years begin on March 1st, so that a leap day is the last day of a year.
    pub fn from_unix(seconds: u64) -> Self {
        let unix_days = (seconds / 86_400) as i64;
        let days = unix_days + UNIX_EPOCH_DAY;
        let era = days.div_euclid(DAYS_PER_ERA);
        let day_of_era = days.rem_euclid(DAYS_PER_ERA);
        // Leap days: every 4 years (1,460 days + 1), not every 100, but every 400.
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March, by the line through the cumulated lengths 31, 61, 92, …: (153 m + 2) / 5.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u64;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as usize,
            day,
            // 1970-01-01 was a Thursday.
            weekday: (unix_days + 4).rem_euclid(7) as usize,
            second_of_day: seconds % 86_400,
        }
    }

    /// The time formatted as by C's `strftime` in the C locale. Supported: `%Y %y %m %B %b %d %e %A %a %H %I %p %M %S
    /// %F %T %%`; other fields stay unchanged.
    pub fn strftime(&self, format: &str) -> String {
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            match if c == '%' { rest.next() } else { None } {
                Some(field) => text += &self.format_field(field).unwrap_or_else(|| format!("%{field}")),
                None => text.push(c),
            }
        }
        text
    }

    /// One field of `strftime`; `None` if it is not supported.
    fn format_field(&self, field: char) -> Option<String> {
        let hour = self.second_of_day / 3600;
        let minute = self.second_of_day / 60 % 60;
        let second = self.second_of_day % 60;
        Some(match field {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'B' => MONTHS[self.month - 1].into(),
            'b' => MONTHS[self.month - 1][..3].into(),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'A' => DAYS[self.weekday].into(),
            'a' => DAYS[self.weekday][..3].into(),
            'H' => format!("{hour:02}"),
            'I' => format!("{:02}", (hour + 11) % 12 + 1),
            'p' => if hour < 12 { "AM" } else { "PM" }.into(),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{hour:02}:{minute:02}:{second:02}"),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        let all = "%A %a %d %B %b %Y %y %m %H:%M:%S %I %p %%";
        let cases = [
            (0, "Thursday Thu 01 January Jan 1970 70 01 00:00:00 12 AM %"),
            (951_782_399, "Monday Mon 28 February Feb 2000 00 02 23:59:59 11 PM %"),
            (951_782_400, "Tuesday Tue 29 February Feb 2000 00 02 00:00:00 12 AM %"),
            (4_107_542_400, "Monday Mon 01 March Mar 2100 00 03 00:00:00 12 AM %"),
            (1_735_689_599, "Tuesday Tue 31 December Dec 2024 24 12 23:59:59 11 PM %"),
        ];
        cases.iter().for_each(|(seconds, text)| assert_eq!(TemplateClock::from_unix(*seconds).strftime(all), *text));
    }
}
