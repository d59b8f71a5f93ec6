require "sidekiq"

class Work
  include Sidekiq::Worker

  def perform(number)
    log("started #{number}")
    sleep 0.05 while File.exist?("/srv/work/hold")
    log("finished #{number}")
  end

  def log(line)
    File.write("/srv/work/log", line + "\n", mode: "a")
  end
end
